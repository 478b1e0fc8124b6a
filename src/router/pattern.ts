/** A route's pattern: `*` stands for any text, everything else for itself. */
export function compilePattern(pattern: string): (text: string) => boolean {
  if (pattern === '*') return () => true;
  if (!pattern.includes('*')) return (text) => text === pattern;
  const source = pattern.split('*').map(escapeRegExp).join('[^]*');
  const expression = new RegExp(`^${source}$`, 'u');
  return (text) => expression.test(text);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}
