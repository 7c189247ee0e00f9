// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Settings of the guard; the table {@code guard} of recipe.json. */
public final class GuardRecipe {
    /** Off: the personal weights are always kept (naive fine-tuning). */
    public final boolean enabled;

    /** Share of the events to learn from that is held back, the latest ones, in (0, 1). */
    public final double holdback;

    /** With fewer held-back targets nothing is judged, and the prior's gain alone decides. */
    public final int minimumHeldback;

    /** Posterior gain in reciprocal rank, less the price of harm, above which a choice is used. */
    public final double threshold;

    /** What a loss of more than .01 costs, in reciprocal rank. */
    public final double price;

    /** Its table with what is absent filled in. */
    final Map<String, Object> plain;

    private final Map<String, Prior> priors = new HashMap<>();

    private GuardRecipe(Fields fields) throws JsonException {
        enabled = fields.flag("enabled");
        holdback = fields.number("holdback");
        minimumHeldback = fields.whole("minimum_heldback");
        threshold = fields.number("threshold");
        price = fields.number("price");
        Table prior = fields.table("prior");
        Map<String, Object> known = new HashMap<>();
        for (String choice : prior.names()) {
            String path = fields.at("prior") + "." + choice;
            Fields one = Fields.of(prior.table(choice), RecipeFields.PRIOR, path);
            priors.put(choice, Prior.of(one));
            known.put(choice, Prior.plain(one));
        }
        plain = fields.filled();
        plain.put("prior", known);
    }

    static GuardRecipe of(Fields fields) throws JsonException {
        return new GuardRecipe(fields);
    }

    /** What is weighed besides the global weights, the mildest first. */
    List<String> choices() {
        List<String> choices = new ArrayList<>();
        for (String choice : Guard.CHOICES) {
            boolean always = Guard.BLEND.equals(choice) || Guard.PERSONAL.equals(choice);
            if (always || priors.containsKey(choice)) {
                choices.add(choice);
            }
        }
        return choices;
    }

    Prior priorOf(String choice) {
        return priors.getOrDefault(choice, Prior.NEUTRAL);
    }

    /**
     * How many of {@code events} targets are held back; 0 where fewer than the minimum would be, or
     * none be left.
     */
    int heldbackCount(int events) {
        int count =
                Math.max(
                        minimumHeldback,
                        (int) Math.rint(holdback * events)); // halves to even, as in Python
        return enabled && events - count >= 1 ? count : 0;
    }
}
