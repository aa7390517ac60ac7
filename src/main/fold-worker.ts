/** Entry of a worker thread that folds one of this server's read models. */
import { readModels } from '../projections/index.ts';
import { serveFolds } from './fold-threads.ts';

serveFolds(readModels);
