/** What every database of the engine must do: `storageContract` runs it all against one. */
import { describe } from 'vitest';
import type { Key } from '../../src/projections/engine/read-model.ts';
import type { Generation, ProjectionStorage } from '../../src/projections/engine/storage.ts';
import { generationsContract } from './storage-contract-generations.ts';
import { leasesContract } from './storage-contract-leases.ts';
import { rebuildsContract } from './storage-contract-rebuilds.ts';
import { signalsContract } from './storage-contract-signals.ts';
import { writesContract } from './storage-contract-writes.ts';
import type { SampleRow, sample } from './storage-samples.ts';

/** An empty database, opened by a process whose log it follows from then on. */
export interface OpenedStorage {
  readonly storage: ProjectionStorage;
  /** The same database, opened by a process that follows another log. */
  readonly strayed: ProjectionStorage;
  /** Lets time pass on the database's clock. */
  pass(ms: number): Promise<void>;
  /** As an operator asks for another generation of the version there is. */
  rebuild(model: typeof sample): Promise<void>;
  /** Replaces a row (or removes it) behind the back of everybody; its position stays. */
  tamper(generation: Generation, key: Key, row: SampleRow | undefined): Promise<void>;
}

/** `open` gives every test a database of its own. */
export function storageContract(name: string, open: () => Promise<OpenedStorage>): void {
  describe(`projection storage contract: ${name}`, () => {
    leasesContract(open);
    writesContract(open);
    generationsContract(open);
    rebuildsContract(open);
    signalsContract(open);
  });
}
