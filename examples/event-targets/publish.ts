/** `npm run publish <target> <type> <payload> [key] [count]`: publishes events of the first organization. */
import { randomUUID } from 'node:crypto';
import { TARGETS, type TargetedEvent, type Target } from './events.ts';
import { publishAsMembers } from './members.ts';
import { ORGANIZATIONS } from './organizations.ts';

const [target = '', type = '', payload = '{}', key = randomUUID(), count = '1'] = process.argv.slice(2);
if (!TARGETS.includes(target as Target) || type === '') {
  console.error(`npm run publish <${TARGETS.join('|')}> <type> <payload as JSON> [key] [count]`);
  process.exit(2);
}
const publish = publishAsMembers(`http://127.0.0.1:${process.env['REST_PORT']}`);
try {
  for (let n = 1; n <= Number(count); n += 1) {
    const event = {
      organizationId: ORGANIZATIONS[0] ?? '',
      target,
      eventType: type,
      payload: JSON.parse(payload) as object,
      idempotencyKey: n === 1 ? key : `${key} ${n}`,
    } as TargetedEvent;
    console.log(`event ${await publish(event)}, key ${event.idempotencyKey}`);
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
