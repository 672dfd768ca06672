/**
 * @file The published tables that can be trained again.
 */
import { OptionError } from '../../base/errors.js';
import type { Recipe } from './recipe.js';
import { adderQuant } from './recipes/adder-quant.js';
import { addernetLenet5 } from './recipes/addernet-lenet5.js';
import { bitpruningLenet } from './recipes/bitpruning-lenet.js';
import { cifar10Resnet20 } from './recipes/cifar10-resnet20.js';
import { deepshiftMnist } from './recipes/deepshift-mnist.js';
import { kwinnersMnist } from './recipes/kwinners-mnist.js';

const recipes: readonly Recipe[] = [
  deepshiftMnist,
  kwinnersMnist,
  bitpruningLenet,
  addernetLenet5,
  adderQuant,
  cifar10Resnet20,
];

/** Every recipe, the shortest training first. */
export function listRecipes(): readonly Recipe[] {
  return recipes;
}

/** @throws OptionError listing the known ones */
export function recipeNamed(name: string): Recipe {
  const found = recipes.find((recipe) => recipe.name === name);
  if (found === undefined)
    throw new OptionError(
      `there is no recipe '${name}'; known: ${recipes.map((recipe) => recipe.name).join(', ')}`,
    );
  return found;
}
