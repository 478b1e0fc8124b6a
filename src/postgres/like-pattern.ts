/** A pattern of routes and filters, where `*` stands for any text, as LIKE wants it. */
export function likePattern(pattern: string): string {
  return pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}
