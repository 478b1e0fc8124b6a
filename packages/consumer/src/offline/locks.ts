/** Turns that are taken one after the other: among all tabs of an origin where there are Web Locks, else inside of this one. */
export interface Locks {
  run<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
}

interface WebLocks {
  request<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
}

const ofThisTab = localLocks();

export function availableLocks(): Locks {
  const { navigator } = globalThis as { readonly navigator?: { readonly locks?: WebLocks } };
  const locks = navigator?.locks;
  return locks === undefined ? ofThisTab : { run: (name, work) => locks.request(name, work) };
}

export function localLocks(): Locks {
  const last = new Map<string, Promise<unknown>>();
  return {
    run: (name, work) => {
      const turn = (last.get(name) ?? Promise.resolve()).then(work, work);
      last.set(
        name,
        turn.catch(() => undefined),
      );
      return turn;
    },
  };
}
