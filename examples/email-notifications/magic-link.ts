/** `npm run magic-link <email>`: the function in SQL. */
import pg from 'pg';

const [email = 'ada@example.com'] = process.argv.slice(2);
const client = new pg.Client({ connectionString: process.env['APP_URL'] });
await client.connect();
const { rows } = await client.query<{ id: string }>('SELECT app.request_magic_link($1) AS id', [email]);
await client.end();
console.log(`queued ${rows[0]?.id} for ${email}`);
