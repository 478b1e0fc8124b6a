/** Makes an expensive call safe to repeat: calls that overlap share one answer, and none waits longer than `limitMs`. */
export function boundedCall<T>(ask: () => Promise<T>, limitMs: number): () => Promise<T> {
  let underway: Promise<T> | undefined;
  return () => {
    underway ??= ask().finally(() => (underway = undefined));
    return within(underway, limitMs);
  };
}

function within<T>(answer: Promise<T>, limitMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${limitMs} ms`)), limitMs);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
