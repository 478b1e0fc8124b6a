import { expect, test } from 'vitest';
import { startServer } from '../support/server.ts';
import { backToBack } from './back-to-back.ts';

/** `npm run evidence:back-to-back` makes 50. */
const rounds = Number(process.env['WALPOST_ROUNDS'] ?? 3);

test.for(['15', '18'] as const)(
  'the second of two commits back to back is never lost, Postgres %s',
  { timeout: 60_000 + rounds * 20_000 },
  async (version) => {
    await using server = await startServer(version);
    const tally = await backToBack(server.url(), rounds);
    console.log(
      `Postgres ${server.version}: ${tally.arrived} of ${tally.rounds} arrived, ${tally.exact} exact, ${tally.apart} apart`,
    );
    expect(tally).toMatchObject({ rounds, exact: rounds, arrived: rounds });
  },
);
