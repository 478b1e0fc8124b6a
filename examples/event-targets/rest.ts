/** The REST door of a project of Supabase, in front of the Postgres of the example: the stand-in that walpost is tested with. */
import { PostgrestStandIn } from '../../tests/support/postgrest.ts';

const { APP_URL = '', REST_PORT } = process.env;
const door = await PostgrestStandIn.start(APP_URL, ['walpost'], Number(REST_PORT));
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void door[Symbol.asyncDispose]().then(() => process.exit(0)));
}
