/** Topics and event types that begin with it belong to events of walpost itself; walpost.publish refuses them. */
const RESERVED_PREFIX = 'walpost.';

export function isReserved(name: string): boolean {
  return name.startsWith(RESERVED_PREFIX);
}

/** Type of the canaries of `walpost verify`. Without a route that names it no sink gets them, and they are no dead letters. */
export const CANARY_TYPE = 'walpost.verify';
