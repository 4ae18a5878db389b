package android.app

import android.content.Context
import android.os.Bundle

open class Application : Context()

open class Activity : Context() {
    protected open fun onCreate(savedInstanceState: Bundle?) = Unit
}
