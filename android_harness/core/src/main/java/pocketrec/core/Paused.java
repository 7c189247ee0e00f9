// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * Where a training was stopped. With the same arguments and this it goes on to the same numbers.
 */
final class Paused {
    /** Steps of the guard's training, or of the final one. */
    final Course course;

    /** Tensors and slots of that training. */
    final Weights weights;

    /** The guard's; null while its training or its comparison is not done. */
    final Judgement judgement;

    /** How far the guard's comparison has come; null = it has not started, or is done. */
    final Compared compared;

    Paused(Course course, Weights weights, Judgement judgement, Compared compared) {
        this.course = course;
        this.weights = weights;
        this.judgement = judgement;
        this.compared = compared;
    }
}
