/**
 * JSON that keeps bigints: Postgres has numbers of any length, and walpost hands them on digit by digit. JSON.stringify
 * refuses bigints, so they pass as strings with a mark that no payload can know, and lose quotes and mark afterwards.
 */
export function jsonText(value: unknown): string {
  let mark: string | undefined;
  const text = JSON.stringify(value, (_, each: unknown) => {
    if (typeof each !== 'bigint') return each;
    mark ??= `bigint:${crypto.randomUUID()}:`;
    return `${mark}${each}`;
  }) as string | undefined;
  if (text === undefined) throw new TypeError('a payload must have a form in JSON; undefined and functions have none');
  return mark === undefined ? text : text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1');
}

type Source = { readonly source: string };
type WithRawJson = { rawJSON?(text: string): unknown };

/**
 * For what calls JSON.stringify itself: the value as it is, or with each bigint as a number that is printed digit by digit,
 * which Node 22, Deno and edge functions can do.
 */
export function withLongNumbers(value: object): object {
  try {
    JSON.stringify(value);
    return value;
  } catch {
    const { rawJSON } = JSON as WithRawJson;
    if (!rawJSON) throw new TypeError('a bigint needs Node 22 or later here; or give it as a string');
    const revive = (_: string, each: unknown, context?: Source): unknown =>
      typeof each === 'number' && context && context.source !== `${each}` ? rawJSON(context.source) : each;
    return JSON.parse(jsonText(value), revive) as object;
  }
}
