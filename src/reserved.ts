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
