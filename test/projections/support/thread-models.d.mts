import type { ReadModel } from '../../../src/projections/engine/read-model.ts';

export const orderKeeping: readonly ReadModel[];
export const stoppingModels: readonly ReadModel[];
export const threadModels: readonly ReadModel[];
