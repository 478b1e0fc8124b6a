/** The titles of the tests in the source of a test file: as they stand there, and with what a table puts into them. */
const TITLE =
  /(?:\b(?:test|it)(?:\.concurrent)?|\))\(\s*(?:'((?:\\.|[^'\\\n])*)'|"((?:\\.|[^"\\\n])*)"|`((?:\\.|(?!\$\{)[^`\\])*))/g;
const SKIPPED = /\b(?:test|it|describe)(?:\.\w+)*\.(?:skip|todo|fails)\b/;
const QUOTED = /(?:'((?:\\.|[^'\\\n])*)'|"((?:\\.|[^"\\\n])*)")/.source;

export interface TestTitles {
  readonly titles: readonly string[];
  /** A test of the file is skipped by name, whatever this machine has. */
  readonly skips: boolean;
}

export function testTitles(source: string): TestTitles {
  const titles = [...source.matchAll(TITLE)].map(([, ...texts]) =>
    unescaped(texts.find((text) => text !== undefined) ?? ''),
  );
  return { titles: titles.flatMap((title) => filledIn(title, source)), skips: SKIPPED.test(source) };
}

/** Is it the title of a test, or the beginning of one, up to the end of a word? */
export function namesTest({ titles }: TestTitles, name: string): boolean {
  return titles.some((title) => title.startsWith(name) && !/^\w/.test(title.slice(name.length)));
}

/** In the place of `$what` a property of the cases that has that name, in that of `%s` the first value of each. */
function filledIn(title: string, source: string): string[] {
  const [place, property] = /\$(\w+)|%s/.exec(title) ?? [];
  if (place === undefined) return [title];
  const value = new RegExp(property === undefined ? `\\[\\s*${QUOTED}` : `\\b${property}:\\s*${QUOTED}`, 'g');
  return [...source.matchAll(value)].map(([, single, double]) =>
    title.replace(place, () => unescaped(single ?? double ?? '')),
  );
}

const unescaped = (text: string): string => text.replace(/\\(.)/g, '$1');
