package com.example.app.model

import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals

class MonitorTest {
    @Test
    fun percentilesAreOfTheNearestRank() {
        val monitor = Monitor(listOf(0.5), listOf(10.0, 20.0))
        for (n in 1..100) monitor.record(n.toDouble(), 2.0 * n, if (n > 90) 0.5 else 0.1, 15.0)
        val json = monitor.json("a \"runtime\"", "phone", Thermal("none"))
        assertContains(json, """"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0""")
        assertContains(json, """"p50": 100.0, "p90": 180.0, "p99": 198.0, "max": 200.0""")
        assertContains(json, """"top_score": [90, 10], "input_mean": [0, 100, 0]""")
        assertContains(json, """"runtime": "a \"runtime\""""")
    }

    @Test
    fun whatIsNotFiniteIsNotCounted() {
        val monitor = Monitor(listOf(0.5), emptyList())
        monitor.record(1.0, Double.NaN, Double.NaN, Double.NaN)
        val json = monitor.json("", "", null)
        assertContains(json, """"top_score": [0, 0], "input_mean": null""")
        assertContains(json, """"preprocess_ms": null""")
    }

    @Test
    fun labelsAreUnescaped() {
        assertEquals(listOf("a\nb", "c\\d", "", "e\r"), Labels.parse("a\\nb\nc\\\\d\n\ne\\r\n"))
    }
}
