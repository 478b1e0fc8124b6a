/**
 * Spans of deliveries. The trace of an event goes on: the spans of a batch are children of what the `traceparent` in the
 * headers of its first traced event names, and are linked to those of its other events.
 *
 *   receive      from the commit to the arrival            these three once for a batch, when its first
 *   visibility   until a snapshot saw the transaction      attempt begins
 *   window       until the batch left
 *   deliver      one attempt; the request carries its own traceparent
 */
import type * as OpenTelemetry from '@opentelemetry/api';
import type { Context, Link, SpanContext, Tracer } from '@opentelemetry/api';
import type { Clock } from '../../clock.ts';
import type { Event } from '../../event.ts';
import { unixMs } from '../../pg-time.ts';
import type { Batch } from '../../pipeline.ts';
import { wireString, wireToText } from '../../wire-text.ts';
import type { RequestOutcome } from '../metrics.ts';

type Api = Pick<typeof OpenTelemetry, 'ROOT_CONTEXT' | 'SpanKind' | 'SpanStatusCode' | 'trace'>;

/** One attempt, from when the sink is asked. */
export interface DeliverySpan {
  /** For the request: names this span as the parent. */
  readonly traceparent: string;
  end(outcome: RequestOutcome): void;
}

export interface DeliveryTracesOptions {
  readonly api: Api;
  readonly tracer: Tracer;
  readonly clock: Clock;
  /** Sends what is left. */
  readonly flush: () => Promise<void>;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const MOST_LINKS = 128;

export class DeliveryTraces implements AsyncDisposable {
  private readonly options: DeliveryTracesOptions;

  constructor(options: DeliveryTracesOptions) {
    this.options = options;
  }

  begin(sink: string, batch: Batch): DeliverySpan {
    const { api, tracer, clock } = this.options;
    const [parent, ...others] = contextsOf(batch.events);
    const context = parent ? api.trace.setSpanContext(api.ROOT_CONTEXT, parent) : api.ROOT_CONTEXT;
    const first = batch.events[0];
    if (first && batch.attempt === 1 && first.parkedId === null) this.before(first, context);
    const span = tracer.startSpan(
      `deliver ${sink}`,
      {
        kind: api.SpanKind.PRODUCER,
        startTime: clock.wallTime(),
        links: others.map((each): Link => ({ context: each })),
        attributes: {
          'walpost.sink': sink,
          'walpost.attempt': batch.attempt,
          'messaging.batch.message_count': batch.events.length,
          ...(batch.job !== undefined && { 'walpost.job': batch.job }),
        },
      },
      context,
    );
    return {
      traceparent: traceparentOf(span.spanContext()),
      end: (outcome) => {
        span.setAttribute('walpost.outcome', outcome);
        if (outcome !== 'delivered') span.setStatus({ code: api.SpanStatusCode.ERROR });
        span.end(clock.wallTime());
      },
    };
  }

  /** Never rejects: a collector that is away must not keep the process from ending. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.options.flush().catch(() => undefined);
  }

  /** The parts before the first attempt, all of them over by now. */
  private before({ origin }: Event, context: Context): void {
    const { tracer, clock } = this.options;
    const [now, wall] = [clock.now(), clock.wallTime()];
    const part = (name: string, startTime: number, endTime: number): void => {
      tracer.startSpan(name, { startTime }, context).end(Math.max(startTime, endTime));
    };
    if (origin.committedAtMicros === null) return;
    const received = wall - (now - origin.receivedAt);
    const seen = origin.visibleAt ? Math.max(received, wall - (now - origin.visibleAt)) : received;
    part('receive', Math.min(unixMs(origin.committedAtMicros), received), received);
    part('visibility', received, seen);
    part('window', received, wall);
  }
}

/** What the events name, each once. */
function contextsOf(events: readonly Event[]): readonly SpanContext[] {
  const found = new Map<string, SpanContext>();
  for (const { headers } of events) {
    const text = traceparentIn(headers);
    const [, traceId, spanId, flags = '00'] = TRACEPARENT.exec(text) ?? [];
    if (traceId === undefined || spanId === undefined || found.size > MOST_LINKS) continue;
    found.set(text, { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true });
  }
  return [...found.values()];
}

function traceparentIn(headers: Event['headers']): string {
  if (!wireString(headers).includes('"traceparent"')) return '';
  const { traceparent } = JSON.parse(wireToText(headers)) as { readonly traceparent?: unknown };
  return typeof traceparent === 'string' ? traceparent : '';
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
