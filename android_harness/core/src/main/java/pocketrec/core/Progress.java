// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** Called after each train step, on the thread that trains. */
public interface Progress {
    /**
     * @param done train steps made so far of the guard's or the final training
     * @param total its train steps
     * @param loss the step's loss in nats a counted target
     */
    void step(int done, int total, float loss);
}
