import { eventTypeOf } from './event-mix.ts';
import type { DemoSink } from './sinks/demo-sink.ts';

export const SLOT = 'walpost_demo';

interface Configured {
  readonly url: string;
  readonly receiverUrl: string;
  readonly secret: string;
  readonly sinks: ReadonlyMap<string, DemoSink>;
}

/** The configuration of walpost. The receiver gets every event; each of the other sinks gets those of its types. */
export function demoConfig({ url, receiverUrl, secret, sinks }: Configured): object {
  const others = [...sinks];
  return {
    database: { url },
    source: { slot: SLOT },
    sinks: {
      receiver: { type: 'webhook', url: receiverUrl, secret, allow_private: true },
      ...Object.fromEntries(others.map(([name, { options }]) => [name, options])),
    },
    routes: [
      { match: { topic: 'orders' }, to: ['receiver'] },
      ...others.flatMap(([name, { statuses }]) =>
        statuses.map((status) => ({ match: { topic: 'orders', event_type: eventTypeOf(status) }, to: [name] })),
      ),
    ],
    http: { enabled: false },
    log: { level: 'info', format: 'json' },
    ...Object.assign({}, ...others.map(([, { sections = {} }]) => sections)),
  };
}
