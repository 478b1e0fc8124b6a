/** What is done with an error where the application has no `onError`. */
export function logError(error: unknown): void {
  console.error(error);
}
