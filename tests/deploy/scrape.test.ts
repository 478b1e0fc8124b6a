import { expect, test } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';
import { noPromtool, promtool } from './promtool.ts';

const ORGANIZATIONS = 2_000;
/** A hundred thousand organizations may take 200 KB; what is here must not depend on how many there are. */
const MOST_BYTES = 60_000;

test.skipIf(noPromtool)(
  'a scrape of a relay with organizations that fail passes promtool, and names none',
  async () => {
    await using database = await createTestDatabase();
    await using receiver = await WebhookReceiver.start();
    receiver.otherwise = { kind: 'answer', status: 503 };
    await using walpost = await RunningWalpost.start({
      database,
      sinks: { hook: { type: 'webhook', url: receiver.url(), allow_private: true } },
      config: { batching: { window: '10ms' } },
    });
    await database.query(
      `SELECT walpost.publish(organization_id => gen_random_uuid(), event_type => 'a.b', payload => '{}') FROM generate_series(1, ${ORGANIZATIONS}) AS n`,
    );
    await poll(
      'some fail',
      async () => ((await walpost.metric('walpost_failing_organizations')) > 0 ? true : undefined),
      60_000,
    );
    const text = await (await fetch(`${walpost.url}/metrics`)).text();
    expect(promtool(['check', 'metrics'], text)).toEqual({ code: 0, output: '' });
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/);
    expect(text.length).toBeLessThan(MOST_BYTES);
    for (const name of ['walpost_commit_to_receive_seconds_count', 'walpost_visibility_wait_seconds_count']) {
      expect(await walpost.metric(name)).toBeGreaterThan(0);
    }
  },
);
