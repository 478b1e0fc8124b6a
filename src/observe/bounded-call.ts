/**
 * Makes a question that costs something safe to ask often: who asks while an answer is on its way gets that answer, and
 * nobody waits longer than `limitMs`.
 */
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
