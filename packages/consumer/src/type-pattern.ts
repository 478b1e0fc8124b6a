/** Whether a type fits a name in which `*` stands for any characters: `order.*`, `*.failed`, `*`. */
export function typePattern(name: string): (type: string) => boolean {
  if (!name.includes('*')) return (type) => type === name;
  const parts = name.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const pattern = new RegExp(`^${parts.join('.*')}$`, 's');
  return (type) => pattern.test(type);
}
