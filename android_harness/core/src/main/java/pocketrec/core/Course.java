// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How far a training has come. With this and the model's weights it goes on to the same numbers.
 */
final class Course {
    /** Steps made. */
    int done;

    /** Sum of the losses of the present pass. */
    double total;

    /** Mean loss of each finished pass. */
    final List<Double> losses = new ArrayList<>();

    Course copy() {
        Course copy = new Course();
        copy.done = done;
        copy.total = total;
        copy.losses.addAll(losses);
        return copy;
    }

    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("done", (long) done);
        map.put("total", total);
        map.put("losses", losses);
        return map;
    }

    static Course of(Table table) throws JsonException {
        Course course = new Course();
        course.done = table.whole("done", 0, 0);
        course.total = table.number("total", 0.0);
        course.losses.addAll(table.numbers("losses"));
        return course;
    }
}
