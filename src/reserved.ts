/** Topics and event types that begin with it belong to events of walpost itself; walpost.publish refuses them. */
const RESERVED_PREFIX = 'walpost.';

export function isReserved(name: string): boolean {
  return name.startsWith(RESERVED_PREFIX);
}

/** Type of the canaries of `walpost verify`. Without a route that names it no sink gets them, and they are no dead letters. */
export const CANARY_TYPE = 'walpost.verify';

/** An event for one endpoint, which its entity names. It goes there whatever the routes say, and nowhere else. */
export const ENDPOINT_TEST_TYPE = 'walpost.endpoint.test';
export const ENDPOINT_ENTITY = 'walpost.endpoint';

/** Says that an endpoint was disabled. */
const ENDPOINT_DISABLED_TYPE = 'walpost.endpoint.disabled';

const SENT_WHERE_NAMED: ReadonlySet<string> = new Set([CANARY_TYPE, ENDPOINT_TEST_TYPE, ENDPOINT_DISABLED_TYPE]);

/** Events of walpost that are no dead letters where no route names them. */
export function isSentWhereNamed(eventType: string): boolean {
  return SENT_WHERE_NAMED.has(eventType);
}
