/** The database of the simulation is held to what every database is held to. */
import { keyText } from '../../src/projections/engine/row-key.ts';
import type { ProjectionStorage } from '../../src/projections/engine/storage.ts';
import { storageContract } from '../projections/storage-contract.ts';
import { Database } from './database.ts';
import { Generations } from './generations.ts';
import { immediateStorage } from './storage.ts';

storageContract('memory', () => {
  let now = 0;
  const database = new Database(() => now);
  const generations = new Generations(database);
  const open = (log: string): ProjectionStorage => immediateStorage(database, generations, log);
  return Promise.resolve({
    storage: open('the-log'),
    strayed: open('another-log'),
    pass: (ms) => Promise.resolve(void (now += ms)),
    rebuild: (model) => Promise.resolve(void generations.rebuild(model)),
    tamper(generation, key, row) {
      const table = database.table(generation);
      const stored = table.get(keyText(key));
      if (row && stored) table.set(keyText(key), { ...stored, row });
      else table.delete(keyText(key));
      return Promise.resolve();
    },
  });
});
