// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A personal training that was stopped for its budget: what it was about, and where it goes on; the
 * form of device/state/pending.py. It goes on only with the very events, recipe and start that it
 * began with, known by a fingerprint; events that came since are for the next training.
 */
final class Pending {
    /** Fingerprint of its plan. */
    final String key;

    /** Events of the history that it knows. */
    final int length;

    /** Number of the store's last event then. */
    final long through;

    /** Whether it had been given events. */
    final boolean fresh;

    /** Where it stands. */
    final Paused paused;

    Pending(String key, int length, long through, boolean fresh, Paused paused) {
        this.key = key;
        this.length = length;
        this.through = through;
        this.fresh = fresh;
        this.paused = paused;
    }

    /** All but the weights. */
    String toJson() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("key", key);
        map.put("length", (long) length);
        map.put("through", through);
        map.put("fresh", fresh);
        if (paused.compared != null) {
            map.put("compared", paused.compared.toMap());
        }
        map.put("course", paused.course.toMap());
        map.put("judgement", paused.judgement == null ? null : paused.judgement.toMap());
        return Json.write(map);
    }

    /** The inverse of {@link #toJson}. */
    static Pending of(String text, Weights weights) throws JsonException {
        Table table = Table.of(Json.parse(text), "the stopped training");
        Map<String, Object> map = table.map();
        if (!map.containsKey("judgement") || !map.containsKey("course")) {
            throw new JsonException("the stopped training lacks its course or its judgement");
        }
        Object judged = map.get("judgement");
        Object compared = map.get("compared");
        Paused paused =
                new Paused(
                        Course.of(table.table("course")),
                        weights,
                        judged == null ? null : Judgement.of(Table.of(judged, "judgement")),
                        compared == null ? null : Compared.of(Table.of(compared, "compared")));
        return new Pending(
                table.text("key"),
                table.whole("length", 0),
                table.wholeLong("through", 0),
                table.flag("fresh", false),
                paused);
    }
}
