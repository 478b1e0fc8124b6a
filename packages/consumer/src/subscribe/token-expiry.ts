/** When a JSON Web Token expires, in milliseconds since the Unix epoch; undefined when it does not say so, or is none. */
export function expiryOf(token: string): number | undefined {
  try {
    const [, part = ''] = token.split('.');
    const text = atob(part.replaceAll('-', '+').replaceAll('_', '/'));
    const { exp } = JSON.parse(text) as { readonly exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
