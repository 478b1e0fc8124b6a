import { Example } from '../support/example.ts';

const isOnSupabase = (process.env['SUPABASE_URL'] ?? '') !== '';
// For walpost.yaml: the processes of the example inherit them.
process.env['LIVE_TOPIC'] = isOnSupabase ? 'none' : 'cataloging';
process.env['SUPABASE_TOPIC'] = isOnSupabase ? 'cataloging' : 'none';

await using example = await Example.open(import.meta.dirname, ['WEB_PORT', 'LIVE_PORT']);
await example.startWalpost();
await example.start('application', 'server.ts', 'WEB_PORT');
const page = `http://127.0.0.1:${example.env['WEB_PORT']}`;
example.say(`
Open these pages, side by side:

  ${page}/?organization=1
  ${page}/?organization=2

  A change in one is a toast, a badge and a new list in every page of that organization, and in no other.
  "Change 5,000 jobs" is one transaction. Watch how often the page reads its list.
  Switch the network off in the browser's tools, approve jobs, switch it on again.
  kill -9 <process>    walpost or the application: the page comes back, and misses nothing

The events come over ${isOnSupabase ? 'Supabase Realtime' : 'the live channel of walpost'}.

Ctrl-C stops everything, and removes its files.
`);
await example.untilStopped();
