/** Negative when release `a` is older than `b`, positive when it is newer. A pre-release is older than its release. */
export function compareReleases(a: string, b: string): number {
  const [left, right] = [parse(a), parse(b)];
  for (const [index, part] of left.parts.entries()) {
    const difference = part - (right.parts[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.pre === '' || right.pre === '') return Number(left.pre === '') - Number(right.pre === '');
  return left.pre.localeCompare(right.pre, 'en', { numeric: true });
}

/** What is no version counts as older than all. */
function parse(release: string): { readonly parts: readonly number[]; readonly pre: string } {
  const found = /^(\d+)\.(\d+)\.(\d+)(?:-([^+]+))?/.exec(release);
  return { parts: [1, 2, 3].map((index) => Number(found?.[index] ?? 0)), pre: found?.[4] ?? '' };
}
