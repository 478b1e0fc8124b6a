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
