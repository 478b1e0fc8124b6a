/** `npm run publish <target> <type> <payload> [key] [count]`: publishes events of the first organization. */
import { randomUUID } from 'node:crypto';
import { openPool } from '../support/pool.ts';
import { type EventType, publishEvent, type TargetedEvent, TARGETS, type Target } from './events.ts';
import { ORGANIZATIONS } from './organizations.ts';

const [target = '', type = '', payload = '{}', key = randomUUID(), count = '1'] = process.argv.slice(2);
if (!TARGETS.includes(target as Target) || type === '') {
  console.error(`npm run publish <${TARGETS.join('|')}> <type> <payload as JSON> [key] [count]`);
  process.exit(2);
}
const pool = openPool(process.env['APP_URL'], 1, 'publish');
for (let n = 1; n <= Number(count); n += 1) {
  const event: TargetedEvent = {
    organizationId: ORGANIZATIONS[0] ?? '',
    target: target as Target,
    type: type as EventType,
    payload: JSON.parse(payload) as TargetedEvent['payload'],
    key: n === 1 ? key : `${key} ${n}`,
  };
  console.log(`event ${await publishEvent(pool, event)}, key ${event.key}`);
}
await pool.end();
