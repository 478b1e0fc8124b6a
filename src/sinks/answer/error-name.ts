const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

/** The code of an error, or else its class. A reason may show no more of a foreign error, since its message may quote secrets. */
export function errorName(error: unknown): string {
  const code = codeOf(error);
  if (code !== undefined && NAME.test(code)) return code;
  const name = error instanceof Error ? error.name : typeof error;
  return NAME.test(name) ? name : 'Error';
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'cause' in error ? codeOf(error.cause) : undefined;
}
