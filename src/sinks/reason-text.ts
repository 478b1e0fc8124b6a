/** What a verdict says for a person: one line, no control characters, no more than this many characters. */
const MAX_LENGTH = 300;

const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]+/gu;
const URL_LIKE = /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/?#@]*@)?([^\s/?#"'<>]+)[^\s"'<>]*/gi;
const HALF_A_PAIR = /[\ud800-\udbff]$/;

/**
 * Text from outside (an answer, a library's message) made fit for a reason. Each of the secrets is blotted out where the
 * other side echoes it, and a URL keeps its host only: the path of a webhook is a secret, and so are its credentials.
 */
export function reasonText(text: string, secrets: readonly string[] = []): string {
  let clean = text;
  for (const secret of secrets) if (secret.length > 3) clean = clean.replaceAll(secret, '***');
  clean = clean.replace(URL_LIKE, '$1$2').replace(CONTROL, ' ').replace(/\s+/g, ' ').trim();
  return clean.length > MAX_LENGTH ? `${clean.slice(0, MAX_LENGTH - 1).replace(HALF_A_PAIR, '')}…` : clean;
}
