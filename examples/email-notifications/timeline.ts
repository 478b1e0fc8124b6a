/** `npm run timeline <id>`: what happened to one mail. */
import pg from 'pg';
import { table } from '../support/table.ts';

const client = new pg.Client({ connectionString: process.env['OPERATOR_URL'] });
await client.connect();
const { rows } = await client.query<Record<string, unknown>>(
  'SELECT at, step, sink, detail FROM walpost.event_timeline WHERE event_id = $1 ORDER BY at',
  [process.argv[2]],
);
await client.end();
console.log(table(rows));
