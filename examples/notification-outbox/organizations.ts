/** The id of organization 1 to 100, as schema.sql made it. */
export function organization(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}
