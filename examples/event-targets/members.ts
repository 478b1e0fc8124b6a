/** Somebody of each organization, signed in: with a token as Supabase Auth gives it out. */
import { PostgrestStandIn } from '../../tests/support/postgrest.ts';
import { type Publish, publisherOf } from './events.ts';

/** Publishes each event as a member of its organization. */
export function publishAsMembers(url: string): Publish {
  const publishers = new Map<string, Promise<Publish>>();
  return async (event) => {
    const { organizationId } = event;
    let publisher = publishers.get(organizationId);
    if (publisher === undefined) {
      publisher = publishAsMember(url, organizationId);
      publishers.set(organizationId, publisher);
    }
    return (await publisher)(event);
  };
}

/** Publishes as a member of this organization, also what is not its own. */
export async function publishAsMember(url: string, organizationId: string): Promise<Publish> {
  const claims = { role: 'app_user', app_metadata: { organization_id: organizationId } };
  return publisherOf(url, await PostgrestStandIn.token(claims));
}
