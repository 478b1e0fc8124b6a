/** `npm start`: walpost, a stand-in for n8n, and Realtime and Slack, each a stand-in unless its URL is given. */
import { Example } from '../support/example.ts';
import { ORGANIZATIONS } from './organizations.ts';
import { RealtimeProject } from './realtime-project.ts';
import { SlackWorkspace } from './slack-workspace.ts';

const { SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY, SLACK_WEBHOOK_URL } = process.env;

await using slack = await SlackWorkspace.start((lines) => console.log(`slack | ${lines.join('\n        ')}`));
await using realtime = await RealtimeProject.start(ORGANIZATIONS, ({ eventType, organizationId, eventId }) =>
  console.log(`realtime | ${eventType} ${eventId} at a subscriber of ${organizationId}`),
);
const isReal = SUPABASE_URL !== undefined && SUPABASE_SERVICE_ROLE_KEY !== undefined;
await using example = await Example.open(import.meta.dirname, ['N8N_PORT', 'REST_PORT'], {
  SUPABASE_URL: isReal ? SUPABASE_URL : realtime.url,
  SUPABASE_SERVICE_ROLE_KEY: isReal ? SUPABASE_SERVICE_ROLE_KEY : realtime.addKey(),
  SLACK_WEBHOOK_URL: SLACK_WEBHOOK_URL ?? slack.url,
});
await example.start('n8n', 'n8n.ts', 'N8N_PORT');
await example.start('rest', 'rest.ts', 'REST_PORT');
await example.startWalpost();
example.say(`
n8n and the REST door are stand-ins.
Realtime is ${isReal ? SUPABASE_URL : 'a stand-in'}, Slack is ${SLACK_WEBHOOK_URL === undefined ? 'a stand-in' : 'yours'}.
In another terminal, in this folder:

  npm run publish n8n booking.created '{"guest": "Ada", "nights": 2}'
  npm run publish realtime seat.freed '{"seat": "12A"}'
  npm run publish slack payment.failed '{"customer": "Ada", "amount": "12.50"}'

  npm run walpost status  what walpost itself says
  npm run audit           what was committed, and what has become of it
  kill -9 <process>       walpost or n8n
  npm run acceptance      the acceptance list; stop this first

Ctrl-C stops everything, and removes its files.
`);
await example.untilStopped();
