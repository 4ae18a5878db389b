package androidx.test.ext.junit.runners

class AndroidJUnit4(type: Class<*>) : org.junit.runners.BlockJUnit4ClassRunner(type)
