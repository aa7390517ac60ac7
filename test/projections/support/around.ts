/** Storage as an instance sees it that is cut off, dies, or is slow: every call goes through the test's hands. */
import type { ProjectionStorage } from '../../../src/projections/engine/storage.ts';

/** `call` carries it out. What is returned, or thrown, is what the engine gets. */
export type Around = (
  method: keyof ProjectionStorage,
  args: readonly unknown[],
  call: () => Promise<unknown>,
) => Promise<unknown>;

const isMethod = (storage: ProjectionStorage, key: PropertyKey): key is keyof ProjectionStorage =>
  key in storage;

export const around = (storage: ProjectionStorage, how: Around): ProjectionStorage =>
  new Proxy(storage, {
    get(target, key) {
      const method: unknown = Reflect.get(target, key);
      if (typeof method !== 'function' || !isMethod(target, key)) return method;
      return (...args: unknown[]) =>
        how(key, args, async () => {
          const answer: unknown = await Reflect.apply(method, target, args);
          return answer;
        });
    },
  });

/** The answer that never comes. */
export const hanging = <T>(): Promise<T> => new Promise<T>(() => undefined);
