// Entry of a worker thread that also folds the tests' own read models.
import { serveFolds } from '../../../dist/main/fold-threads.js';
import { readModels } from '../../../dist/projections/index.js';
import { threadModels } from './thread-models.mjs';

serveFolds([...readModels, ...threadModels]);
