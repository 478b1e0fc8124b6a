/** Supabase's roles that browsers have. They may write to a private channel only where a policy on realtime.messages lets them. */
const PUBLIC_ROLES = ['anon', 'authenticated'];

/**
 * The role of a key that is not meant for servers; undefined for one that is, or whose role nobody can tell.
 *
 * An old key is a JWT with the claim `role`, a new one says by its prefix what it is
 * (https://supabase.com/docs/guides/api/api-keys).
 */
export function publicRoleOf(key: string): string | undefined {
  if (key.startsWith('sb_publishable_')) return 'anon';
  const [, claims] = key.split('.');
  if (claims === undefined) return undefined;
  try {
    const { role } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { readonly role?: unknown };
    return PUBLIC_ROLES.find((name) => name === role);
  } catch {
    return undefined;
  }
}
