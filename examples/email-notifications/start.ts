import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Example } from '../support/example.ts';

const byResend = process.env['RESEND_API_KEY'] !== undefined;
const config = byResend ? 'walpost.resend.yaml' : 'walpost.yaml';
await using example = await Example.open(import.meta.dirname, ['SMTP_PORT'], { WALPOST_CONFIG: config });
if (!byResend) await example.start('mail-server', 'mail-server.ts', 'SMTP_PORT');
await example.startWalpost();
example.say(`
Mails go ${byResend ? 'through Resend' : 'to the mail server of this example'}.
In another terminal, in this folder:

  npm run magic-link ada@example.com         a login link, queued in SQL
  npm run booking ada@example.com Ada        a booking, queued in TypeScript
  npm run magic-link unknown@example.com     refused for good: a dead letter
  npm run magic-link greylisted@example.com  refused once: tried again
  npm run report                             queue, errors, alerts, event log
  npm run timeline <id>                      one mail, step by step
  touch outage; rm outage                    the mail server takes nothing
  npm run audit                              what was queued, and what came
  kill -9 <process>                          walpost or the mail server

Ctrl-C stops everything, and removes its files.
`);
await example.untilStopped();
for (const name of ['caught', 'outage']) await rm(join(import.meta.dirname, name), { recursive: true, force: true });
