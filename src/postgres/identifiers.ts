/** Quotes one identifier; the server itself cuts nothing off, since names over 63 bytes are refused here. */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > 63) {
    throw new RangeError(`${JSON.stringify(name)} is no identifier: 1 to 63 bytes, without a null character`);
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** The parts of `schema.table`, in which either may be quoted to hold dots: `"my.schema"."a ""b"""`. */
export function splitQualified(qualified: string): string[] {
  const parts: string[] = [];
  const part = /\s*(?:"((?:[^"]|"")+)"|([^".\s][^".]*?))\s*(\.|$)/y;
  while (part.lastIndex < qualified.length || parts.length === 0) {
    const match = part.exec(qualified);
    if (!match) throw new RangeError(`${JSON.stringify(qualified)} is not a name like schema.table`);
    parts.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === '') return parts;
  }
  throw new RangeError(`${JSON.stringify(qualified)} is not a name like schema.table`);
}

/** Quotes each part of `schema.table`. Letters keep their case: names are taken as written, not folded. */
export function quoteQualified(qualified: string): string {
  return splitQualified(qualified).map(quoteIdentifier).join('.');
}
