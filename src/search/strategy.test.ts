import { createEvolution } from './evolution.js';
import { createNsga2 } from './nsga2.js';
import { createRandomSearch } from './random-search.js';
import { strategyCases } from './strategy.cases.js';
import { SurrogateKind } from './surrogate/screening.js';

strategyCases('evolution', createEvolution);
strategyCases('random search', createRandomSearch);
strategyCases('NSGA-II', createNsga2);

const gp = { surrogate: SurrogateKind.GaussianProcess, oversampling: 4 };
const ridge = { surrogate: SurrogateKind.Ridge, oversampling: 4 };
strategyCases('evolution with a Gaussian process', (problem, options) =>
  createEvolution(problem, { ...options, ...gp }),
);
strategyCases('random search with ridge regression', (problem, options) =>
  createRandomSearch(problem, { ...options, ...ridge }),
);
strategyCases('NSGA-II with a Gaussian process', (problem, options) =>
  createNsga2(problem, { ...options, ...gp }),
);
