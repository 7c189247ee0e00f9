// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RecipeTest {
    private static Recipe parse(String json) throws BundleException {
        return Recipe.parse(json.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void anEmptyRecipeHasPythonsDefaults() throws Exception {
        Recipe recipe = parse("{}");
        assertEquals("partial", recipe.way);
        assertEquals(0.02f, recipe.learningRate);
        assertEquals(10, recipe.passes);
        assertEquals(0.8, recipe.repeats.decay);
        assertEquals(0.3, recipe.guard.holdback);
        assertEquals(2, recipe.guard.minimumHeldback);
        assertEquals(0.1, recipe.guard.priorOf("personal").loglik.weight);
    }

    @Test
    void wholeNumbersAreTakenForNumbers() throws Exception {
        Recipe recipe = parse("{\"format\": 1, \"learning_rate\": 1, \"forecast\": {\"any\": 1}}");
        assertEquals(1f, recipe.learningRate);
    }

    @Test
    void aPriorsAbsentSignalsHaveNoWeight() throws Exception {
        Recipe recipe = parse("{\"guard\": {\"prior\": {\"blend\": {\"gain\": {\"slope\": 2}}}}}");
        assertEquals(2.0, recipe.guard.priorOf("blend").gain.slope);
        assertEquals(0.0, recipe.guard.priorOf("blend").loglik.weight);
        assertEquals(10.0, recipe.guard.priorOf("blend").loglik.strength);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"format\": 2}|its format is 2",
                "{\"unknown\": 1}|unknown key unknown",
                "{\"passes\": -1}|passes must be at least 0, not -1",
                "{\"passes\": 1.5}|passes must be a whole number, not 1.5",
                "{\"passes\": null}|passes must be a whole number, not null",
                "{\"passes\": 9999999999}|passes is out of range",
                "{\"learning_rate\": 0}|learning_rate must be above 0, not 0",
                "{\"targets\": \"some\"}|targets must be later or all, not some",
                "{\"personalise\": 1}|personalise must be true or false, not 1",
                "{\"way\": 1}|way must be a text, not 1",
                "{\"repeats\": {\"decay\": 1.5}}|repeats.decay must be above 0 and at most 1, not 1.5",
                "{\"guard\": 3}|guard must be a table, not 3",
                "{\"guard\": {\"holdback\": 1.0}}|guard.holdback must be above 0 and below 1, not 1",
                "{\"guard\": {\"prior\": {\"blend\": {\"x\": 1}}}}|unknown key guard.prior.blend.x",
                "{\"guard\": {\"prior\": {\"blend\": {\"rr\": {\"strength\": 0}}}}}"
                        + "|guard.prior.blend.rr.strength must be above 0, not 0",
            })
    void aWrongRecipeIsRefusedWithThePathOfTheField(String json, String words) {
        String message = assertThrows(BundleException.class, () -> parse(json)).getMessage();
        assertTrue(message.contains("cannot follow recipe.json (" + words), message);
        assertTrue(message.endsWith("use a bundle made for this version of pocketrec"), message);
        assertFalse(message.contains("\n"), message);
    }
}
