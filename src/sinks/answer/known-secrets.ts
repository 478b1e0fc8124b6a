/** The secrets in the configuration of a sink. */

/** Words that are too common in answers to be removed. */
const SCHEME = /^(basic|bearer|digest|token|apikey|negotiate)\s+/i;
/** A segment of a path may be a token (Slack, n8n) when it has this length or a digit. */
const LONG_STEP = 8;

/** User, password and query, each as written and decoded. With `path` also the path and those segments that may be tokens. */
export function secretsOfUrl(url: URL, { path }: { readonly path: boolean }): string[] {
  const secrets = [url.username, url.password, url.search.slice(1)];
  for (const [name, value] of url.searchParams) secrets.push(value === '' ? name : value);
  if (path) {
    secrets.push(url.pathname + url.search, url.pathname);
    secrets.push(...url.pathname.split('/').filter((step) => step.length >= LONG_STEP || /\d/.test(step)));
  }
  const meant = secrets.map(decoded);
  const credentials = url.username || url.password ? [`${decoded(url.username)}:${decoded(url.password)}`] : [];
  return [...secrets, ...meant, ...credentials];
}

/** The value of a header without its scheme, and its parts. Basic credentials are decoded. */
export function secretsOfHeader(value: string): (string | Buffer)[] {
  const basic = /^\s*basic\s+(\S+)/i.exec(value)?.[1];
  if (basic === undefined) {
    const said = value.trim().replace(SCHEME, '');
    return [said, ...said.split(/[\s,;=]+/)];
  }
  const pair = Buffer.from(basic, 'base64').toString('utf8');
  return [basic, pair, ...pair.split(':')];
}

/** The signing secrets as they are written, and the keys decoded from them. */
export function secretsOfSigning(secret: string | undefined, keys: readonly Buffer[]): (string | Buffer)[] {
  return secret === undefined ? [] : [secret, ...secret.trim().split(/\s+/), ...keys];
}

/** Words of a template that look like a key: some receivers take theirs in the body. */
export function secretsOfTemplate(source = ''): string[] {
  return (source.match(/[\w-]{16,}/g) ?? []).filter((word) => /\d/.test(word));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
