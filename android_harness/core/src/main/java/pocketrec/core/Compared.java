// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How far the guard's comparison on the held-back targets has come: global, personal, half, then
 * other weights.
 */
final class Compared {
    /** Evaluation calls made with the last of the weights below. */
    int calls;

    /** Sum of the targets' losses for each of the weights, in nats. */
    final List<Double> loss = new ArrayList<>();

    /** Sum of the targets' reciprocal ranks for each. */
    final List<Double> rr = new ArrayList<>();

    Compared copy() {
        Compared copy = new Compared();
        copy.calls = calls;
        copy.loss.addAll(loss);
        copy.rr.addAll(rr);
        return copy;
    }

    /** Adds what one call has given to the sums of the weights at a place. */
    void add(int place, Training.Judged judged) {
        double losses = 0;
        double ranks = 0;
        for (int target = 0; target < judged.loss.length; target++) {
            losses += judged.loss[target];
            ranks += 1 / judged.rank[target];
        }
        loss.set(place, loss.get(place) + losses);
        rr.set(place, rr.get(place) + ranks);
        calls++;
    }

    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("calls", (long) calls);
        map.put("loss", loss);
        map.put("rr", rr);
        return map;
    }

    static Compared of(Table table) throws JsonException {
        Compared compared = new Compared();
        compared.calls = table.whole("calls", 0, 0);
        compared.loss.addAll(table.numbers("loss"));
        compared.rr.addAll(table.numbers("rr"));
        int most = 1 + Guard.CHOICES.size();
        int count = compared.loss.size();
        if (count == 0 || count != compared.rr.size() || count > most) {
            throw new JsonException("the sums of its comparison are not those of the choices");
        }
        return compared;
    }
}
