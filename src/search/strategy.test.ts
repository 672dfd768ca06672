import { createEvolution } from './evolution.js';
import { createRandomSearch } from './random-search.js';
import { strategyCases } from './strategy.cases.js';

strategyCases('evolution', createEvolution);
strategyCases('random search', createRandomSearch);
