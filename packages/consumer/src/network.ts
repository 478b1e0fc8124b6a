interface Surroundings {
  addEventListener?(name: string, listener: () => void): void;
  removeEventListener?(name: string, listener: () => void): void;
}

/** Calls back whenever a browser says that the network is back; nowhere else. Gives back how to stop. */
export function onNetworkBack(listener: () => void): () => void {
  const surroundings = globalThis as unknown as Surroundings;
  surroundings.addEventListener?.('online', listener);
  return () => surroundings.removeEventListener?.('online', listener);
}
