/**
 * @file Reference passes over all the parameters of a network: optimiser steps, scaling, the sum of squares.
 */
import type { AdamWItem, AdamWOptions, SgdItem } from '../kernels.js';

/** x *= alpha, for each buffer. */
export function scale(alpha: number, ...buffers: readonly Float32Array[]): void {
  for (const x of buffers) for (let i = 0; i < x.length; i++) x[i] = alpha * x[i]!;
}

/** Sum of squares in float64, which no finite float32 data can overflow. */
export function sumOfSquares(...buffers: readonly Float32Array[]): number {
  let sum = 0;
  for (const x of buffers) for (const value of x) sum += value * value;
  return sum;
}

/**
 * Stochastic gradient descent with momentum, the weight decay inside the gradient: g = gradientScale * gradient +
 * weightDecay * weight; velocity = momentum * velocity + g; weight -= rate * velocity, or with `nesterov`
 * (Sutskever et al., ICML 2013) weight -= rate * (g + momentum * velocity).
 */
export function sgdSteps(rate: number, momentum: number, nesterov: boolean, items: readonly SgdItem[]): void {
  for (const { weight, gradient, velocity, weightDecay, gradientScale } of items)
    for (let i = 0; i < weight.length; i++) {
      const slope = gradientScale * gradient[i]! + weightDecay * weight[i]!;
      const speed = momentum * velocity[i]! + slope;
      velocity[i] = speed;
      weight[i] = weight[i]! - rate * (nesterov ? slope + momentum * speed : speed);
    }
}

/** Adam (Kingma and Ba, ICLR 2015) with the weight decay beside the gradient (Loshchilov and Hutter, ICLR 2019). */
export function adamWSteps(rate: number, options: AdamWOptions, items: readonly AdamWItem[]): void {
  const { beta1, beta2, epsilon } = options;
  for (const { weight, gradient, mean, square, weightDecay, gradientScale, step } of items)
    for (let i = 0; i < weight.length; i++) {
      const slope = gradientScale * gradient[i]!;
      const average = beta1 * mean[i]! + (1 - beta1) * slope;
      const power = beta2 * square[i]! + (1 - beta2) * slope * slope;
      mean[i] = average;
      square[i] = power;
      const size = Math.sqrt(power / (1 - beta2 ** step)) + epsilon;
      weight[i] = (1 - rate * weightDecay) * weight[i]! - (rate * average) / (1 - beta1 ** step) / size;
    }
}
